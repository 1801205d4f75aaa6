"""How a worker without shared volumes gets packs from the server, and gives it logs and artifacts: over HTTP."""
