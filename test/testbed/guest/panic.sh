#!/usr/bin/env bash
# Crashes the guest's kernel.
echo 'before the panic'
echo c >/proc/sysrq-trigger
