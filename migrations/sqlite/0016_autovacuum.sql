-- PostgreSQL only: SQLite leaves no dead rows behind. The step is here so that both folders have the same numbers.
SELECT 1;
