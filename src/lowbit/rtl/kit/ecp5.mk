YOSYS = $(call tool,yosys)
DEVICE = 85k

bitstream: ulx3s.bit

ulx3s.json: board/ulx3s.v board/serial.v $(TOP).v
	$(YOSYS) -q -p "read_verilog $^; synth_ecp5 -top ulx3s -json $@"

ulx3s.config: ulx3s.json board/ulx3s.lpf
	$(call tool,nextpnr-ecp5) --$(DEVICE) --package CABGA381 --speed 6 --json $< --lpf board/ulx3s.lpf --textcfg $@

ulx3s.bit: ulx3s.config
	$(call tool,ecppack) --compress $< $@

