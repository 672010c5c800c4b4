"""What each layer of a network puts out, costs and sees: a walk over the meta device, with no arithmetic done."""
