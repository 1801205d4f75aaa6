# The one-file agent and its images; included by the Makefile.

.PHONY: build-agent docker-build-agent docker-build-operator docker-build-server

BUILD_DIR ?= var/build

# Architectures are named as Docker and Debian do.
ARCH ?=
NATIVE := $(subst aarch64,arm64,$(subst x86_64,amd64,$(shell uname -m)))
AGENT := dist/attune-agent$(if $(ARCH),-$(ARCH))

build-agent: ## Freeze the agent into one file: dist/attune-agent; ARCH=arm64 makes dist/attune-agent-arm64
ifneq ($(filter-out $(NATIVE),$(ARCH)),)
	build/foreign.sh $(ARCH) $(AGENT)
else
	build/prepare.sh $(BUILD_DIR)/venv
	$(BUILD_DIR)/venv/bin/python build/freeze.py $(BUILD_DIR)/tree
	$(BUILD_DIR)/venv/bin/python build/pack.py $(BUILD_DIR)/tree $(AGENT)
	$(BUILD_DIR)/venv/bin/python build/sbom.py $(BUILD_DIR)/tree $(AGENT)
endif

docker-build-agent: ## Build the image attune-agent:latest, whose init container installs the agent
	docker/build.sh agent-init attune-agent:latest

docker-build-operator: ## Build the image attune:latest, which holds the operator's command
	docker/build.sh operator attune:latest

docker-build-server: ## Build the image attune-server:latest, which runs `attune server`
	docker/build.sh server attune-server:latest
