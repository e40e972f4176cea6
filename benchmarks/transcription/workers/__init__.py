"""What runs in the measured process. These files import nothing but the standard library and the measured system."""
