clean:
	rm -f *.vvp *.log *.vcd ulx3s.json ulx3s.config ulx3s.bit hx8k.json hx8k.asc hx8k.bin results.xml
	rm -rf sim_build __pycache__

.PHONY: sim cocotb bitstream clean
