"""What an operator does to a deployment: place and submit executions, watch and cancel them, look at the fleet."""
