"""What all pages share: their layout and values, the forms that they send, and who looks at them."""
