"""The life of one job: run it, keep its lease, rescue it, log it, deliver its webhook."""
