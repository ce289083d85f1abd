# Copyright (c) 2026, the podnet.linux authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.PHONY: help setup test bench demo clean

help:
	@echo "make setup             install what the tests need, here and (as root) with apt-get"
	@echo "make test              run every check, two at a time; make test PART=unit runs one, PART='unit docs' two"
	@echo "make bench             how fast it is, beside podman, CNI plugins and scripts (as root, ten minutes)"
	@echo "make bench BEFORE=REF  the same, and how fast it was at that commit, in turns"
	@echo "make demo              a tour on a throw-away host of its own; this machine is not touched"
	@echo "make clean             remove what the others made"

setup:
	@scripts/setup

test: setup
	@.venv/bin/python scripts/test.py $(PART)

bench: setup
	@scripts/setup --bench
	@BEFORE=$(BEFORE) ROUNDS=$(ROUNDS) .venv/bin/python tests/benchmarks/bench.py

demo:
	@scripts/demo

clean:
	rm -rf .venv .cache
