# The one-file agent and its images; included by the Makefile.

.PHONY: build-agent docker-build-agent docker-build-operator

BUILD_DIR ?= var/build

build-agent: ## Freeze the agent into one file: dist/attune-agent
	build/prepare.sh $(BUILD_DIR)/venv
	$(BUILD_DIR)/venv/bin/python build/freeze.py $(BUILD_DIR)/tree
	$(BUILD_DIR)/venv/bin/python build/pack.py $(BUILD_DIR)/tree dist/attune-agent
	$(BUILD_DIR)/venv/bin/python build/sbom.py $(BUILD_DIR)/tree dist

docker-build-agent: ## Build the image attune-agent:latest, whose init container installs the agent
	docker/build.sh agent-init attune-agent:latest

docker-build-operator: ## Build the image attune:latest, which holds the operator's command
	docker/build.sh operator attune:latest
