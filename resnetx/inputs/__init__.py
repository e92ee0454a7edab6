"""What is fed to a model: synthetic images, random arrays, image folders."""
