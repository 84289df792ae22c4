"""Where analysed code comes from: a git repository or an upload, always brought to the same scratch layout."""
