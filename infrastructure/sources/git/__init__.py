"""Git repositories: cloning, reading trees and reading history, without a checkout."""
