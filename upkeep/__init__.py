"""What keeps a data set for years: backups, mirrors, schedule, alerts, export, moving to PostgreSQL, the doctor."""
