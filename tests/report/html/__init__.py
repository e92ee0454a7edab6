"""Tests of report/html."""
