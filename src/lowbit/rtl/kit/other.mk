bitstream:
	@echo "no open tools make bitstreams of @TARGET@ here, or this stream has no board: give $(TOP).v to the vendor's tool" >&2
	@exit 1

