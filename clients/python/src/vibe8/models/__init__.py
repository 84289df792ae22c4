"""What the API answers, as frozen dataclasses. Fields that this version does not know are ignored."""
