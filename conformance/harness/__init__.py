"""What every suite shares: servers, certificate authorities, results. Standard library only, so any venv can import it."""
