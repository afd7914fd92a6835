YOSYS = $(call tool,yosys)

bitstream: hx8k.bin

hx8k.json: board/hx8k.v board/serial.v $(TOP).v
	$(YOSYS) -q -p "read_verilog $^; synth_ice40 -top hx8k -json $@"

hx8k.asc: hx8k.json board/hx8k.pcf
	$(call tool,nextpnr-ice40) --hx8k --package ct256 --freq 12 --json $< --pcf board/hx8k.pcf --asc $@

hx8k.bin: hx8k.asc
	$(call tool,icepack) $< $@

