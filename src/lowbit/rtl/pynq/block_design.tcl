# Builds a Zynq system: processor, AXI DMA, engine; writes engine.bit and engine.hwh.
# Usage, after package_ip.tcl, in this folder:  vivado -mode batch -source block_design.tcl
# The part is that of the Zybo Z7-10; PART=xc7z020clg400-1 is that of the Zybo Z7-20, PYNQ-Z1 and PYNQ-Z2. Set
# BOARD to the board's preset where it is installed, as digilentinc.com:zybo-z7-20:part0:1.2.
# Made by lowbit; not tested with the vendor's tool or on a board.
set here [file normalize [file dirname [info script]]]
set part [expr {[info exists ::env(PART)] ? $::env(PART) : "xc7z010clg400-1"}]
create_project engine [file join $here vivado] -part $part -force
if {[info exists ::env(BOARD)]} { set_property board_part $::env(BOARD) [current_project] }
set_property ip_repo_paths [file join $here ip] [current_project]
update_ip_catalog
create_bd_design system

create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
  -config {make_external "FIXED_IO, DDR"} [get_bd_cells ps]
set_property -dict [list CONFIG.PCW_USE_S_AXI_HP0 {1} CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ {@CLOCK_MHZ@}] \
  [get_bd_cells ps]

create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
set_property -dict [list CONFIG.c_include_sg {0} CONFIG.c_sg_length_width {26} \
  CONFIG.c_m_axis_mm2s_tdata_width {8} CONFIG.c_s_axis_s2mm_tdata_width {@SCORE_BITS@} \
  CONFIG.c_m_axi_mm2s_data_width {32}] [get_bd_cells dma]
create_bd_cell -type ip -vlnv lowbit:hardware:@TOP@:1.0 engine
connect_bd_intf_net [get_bd_intf_pins dma/M_AXIS_MM2S] [get_bd_intf_pins engine/s_axis_0]
connect_bd_intf_net [get_bd_intf_pins engine/m_axis_0] [get_bd_intf_pins dma/S_AXIS_S2MM]

apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config {Master /ps/M_AXI_GP0 Clk Auto} \
  [get_bd_intf_pins dma/S_AXI_LITE]
@CONNECT_COUNTERS@foreach port {M_AXI_MM2S M_AXI_S2MM} {
  apply_bd_automation -rule xilinx.com:bd_rule:axi4 -config "Master /dma/$port Slave /ps/S_AXI_HP0 Clk Auto" \
    [expr {$port eq "M_AXI_MM2S" ? [get_bd_intf_pins ps/S_AXI_HP0] : [get_bd_intf_pins dma/$port]}]
}
apply_bd_automation -rule xilinx.com:bd_rule:clkrst -config {Clk /ps/FCLK_CLK0} [get_bd_pins engine/ap_clk]

validate_bd_design
save_bd_design
make_wrapper -files [get_files system.bd] -top -import
set_property top system_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream
wait_on_run impl_1
file copy -force [glob [file join $here vivado engine.runs impl_1 *.bit]] [file join $here engine.bit]
file copy -force [lindex [glob [file join $here vivado engine.* sources_1 bd system hw_handoff *.hwh]] 0] \
  [file join $here engine.hwh]
