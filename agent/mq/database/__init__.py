"""The PostgreSQL database as the broker: queues are rows, and NOTIFY wakes their consumers."""
