#!/bin/bash
# Writes docs/qmp.md from the definitions of the commands: scripts/qmp_docs.sh [build/release/doppel]
cd "$(dirname "$0")/.." && "${1:-build/release/doppel}" list qmp >docs/qmp.md
