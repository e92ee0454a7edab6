"""Tests of runtime/ort."""
