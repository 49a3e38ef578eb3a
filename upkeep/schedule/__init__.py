"""What runs by itself: the jobs, and how launchd, systemd and cron are told of them."""
