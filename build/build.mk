# The one-file agent and its images; included by the Makefile.

.PHONY: build-agent docker-build-agent

BUILD_DIR ?= var/build

build-agent:
	build/prepare.sh $(BUILD_DIR)/venv
	$(BUILD_DIR)/venv/bin/python build/freeze.py $(BUILD_DIR)/tree
	$(BUILD_DIR)/venv/bin/python build/pack.py $(BUILD_DIR)/tree dist/attune-agent

docker-build-agent:
	docker/build.sh agent-init attune-agent:latest
