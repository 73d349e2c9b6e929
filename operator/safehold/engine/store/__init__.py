"""Object stores: the port (`base`) and what implements it."""
