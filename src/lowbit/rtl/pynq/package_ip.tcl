# Packages the engine as an IP core, folder `ip`. Usage, in this folder:  vivado -mode batch -source package_ip.tcl
# Made by lowbit; not tested with the vendor's tool.
set here [file normalize [file dirname [info script]]]
create_project -in_memory -part xc7z010clg400-1
add_files [file join $here @TOP@.v]
set contents [glob -nocomplain [file join $here @TOP@-*.mem]]
if {[llength $contents]} { add_files $contents }
set_property top @TOP@ [current_fileset]
update_compile_order -fileset sources_1
ipx::package_project -root_dir [file join $here ip] -vendor lowbit -library hardware -taxonomy /UserIP \
  -module @TOP@ -import_files
set core [ipx::current_core]
set_property display_name "lowbit engine (@PLAN@)" $core
set_property version 1.0 $core
# Streams, clock and reset are found by their names; the streams belong to the one clock.
foreach stream {s_axis_0 m_axis_0} { ipx::associate_bus_interfaces -busif $stream -clock ap_clk $core }
set_property ipi_drc {ignore_freq_hz true} $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::save_core $core
