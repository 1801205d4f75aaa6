"""Talk to the message broker: RabbitMQ, or the database itself."""
