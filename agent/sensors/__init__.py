"""The sensor service: keeps the programs of packs running that notice what happens."""
