"""Inputs for models: synthetic images, random arrays, image folders."""
