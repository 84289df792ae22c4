"""Where analysed code comes from: a git repository or an upload, always brought to the same scratch layout."""

import os

# GitPython refuses to be imported where there is no git. One that is missing is reported when it is needed: an upload
# of a single file does not need it.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
