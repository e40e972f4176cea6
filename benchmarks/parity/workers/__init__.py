"""What runs in the environment of upstream code. These files import nothing of tutti."""
