# copies changed files to a second directory
import hashlib
import os
import shutil
import subprocess
import sys


def digest(path):
    return hashlib.md5(open(path, "rb").read()).hexdigest()


def backup(src, dst):
    n = 0
    for root, dirs, files in os.walk(src):
        for name in files:
            a = os.path.join(root, name)
            b = os.path.join(dst, os.path.relpath(a, src))
            if os.path.exists(b) and digest(a) == digest(b):
                continue
            os.makedirs(os.path.dirname(b), exist_ok=True)
            shutil.copy2(a, b)
            n += 1
    return n


if __name__ == "__main__":
    print(backup(sys.argv[1], sys.argv[2]), "files")
    if len(sys.argv) > 3:
        subprocess.call(sys.argv[3], shell=True)
