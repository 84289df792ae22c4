"""SQL, one class a concern. Repositories work within a transaction of the caller and never commit.

Every transaction locks rows in this order, so that no two of them can deadlock:

1. `users`, in the order of their ids: inserts of runs and jobs take them FOR KEY SHARE; submissions, retries and the
   choice of a baseline FOR NO KEY UPDATE; the deletion of a user FOR UPDATE. Deletions of an owner's runs take it FOR
   NO KEY UPDATE too, one at a time: the foreign key also clears runs that were stored after the deletion began;
2. `analysis_runs`, in the order of their ids, before a change or a deletion. A statement that deletes runs also locks
   the runs that were compared with them, because the foreign key clears these; an end takes baselines FOR KEY SHARE;
3. `jobs`, in the order of their ids. A statement that deletes runs locks the jobs that refer to them, because the
   foreign key clears these one by one in the order of the runs;
4. `job_uploads` of jobs that are locked, then `notices` in the order of their ids;
5. `usage_tracking`, in the order of users and months, when jobs that failed are refunded. A submission takes its own
   month and day before it inserts jobs, which no other transaction can hold;
6. `evaluation_runs`, in the order of their ids, FOR UPDATE: after a change of a member's status, in the same
   transaction; the deletion of an evaluation first takes the runs that name it;
7. `repositories`, in the order of their ids, then `user_repository_follows`. A check stores a job and then the head of
   its branch. The end of a job changes no repository: a trigger inserts into `tracked_job_ends`, and a transaction of
   its own applies each end to one repository;
8. `reports`: a view or a withdrawal takes one row of it; the deletion of a run takes those of the run, in any
   order, and that of a user skips those that others hold;
9. `api_keys`: a use or a revocation takes one row of it, the deletion of a user all of the user's; then `sessions`,
   in the order of their ids: a new session locks its user and its key first;
10. `audit_logs`, in the order of creation: only the deletion of a user changes rows of it. A change of its partitions
   locks the table, in a transaction that locks nothing else.

A statement that skips the rows that others hold (SKIP LOCKED) never waits, and may lock a table's rows in any order. No
transaction changes a row twice: a second UPDATE checks the foreign keys of the row again, which locks the owner after
the row.
"""
