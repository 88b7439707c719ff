#!/usr/bin/env node
console.error("vring: no command yet");
process.exit(2);
