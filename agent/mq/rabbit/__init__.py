"""RabbitMQ as the broker, through pika."""
