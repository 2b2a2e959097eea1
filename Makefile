.PHONY: demo test lint
demo test lint:
	@echo "not yet"
