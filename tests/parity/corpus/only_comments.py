# a comment

    # another
#