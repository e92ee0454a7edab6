"""What several tests share: models, peers, servers on loopback, fake workers."""
