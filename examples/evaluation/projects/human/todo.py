import json
import os
import sys

FILE = os.path.expanduser("~/.todo.json")


def load():
    if os.path.exists(FILE):
        return json.load(open(FILE))
    return []


def save(items):
    json.dump(items, open(FILE, "w"))


def main(args):
    items = load()
    if not args or args[0] == "list":
        for i, item in enumerate(items):
            if item["done"] == True:
                print(i, "x", item["text"])
            else:
                print(i, "-", item["text"])
    elif args[0] == "add":
        items.append({"text": " ".join(args[1:]), "done": False})
    elif args[0] == "done":
        for n in args[1:]:
            if n.isdigit() and int(n) < len(items):
                items[int(n)]["done"] = True
            else:
                print("no item", n)
    elif args[0] == "clear":
        if len(args) > 1 and args[1] == "all":
            items = []
        else:
            items = [i for i in items if not i["done"]]
    else:
        print("what?")
        return 1
    save(items)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
