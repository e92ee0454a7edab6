"""Tests of runtime/openvino."""
