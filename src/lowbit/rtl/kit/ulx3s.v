// A top for ULX3S: pictures by the board's USB serial port (115,200 baud, 8N1), see serial.v; the LEDs show the
// class. Not tried on a board.
module ulx3s (
    input clk_25mhz,
    input [6:0] btn,  // btn[0] is low while pressed: reset
    input ftdi_txd,   // from the computer
    output ftdi_rxd,  // to the computer
    output [7:0] led,
    output wifi_gpio0
);
  assign wifi_gpio0 = 1'b1;

  reg [15:0] starting = 0;
  always @(posedge clk_25mhz)
    if (!btn[0]) starting <= 0;
    else if (!starting[15]) starting <= starting + 1;

  @TOP@_serial #(.BIT(217)) serial (  // 25 MHz / 115,200
    .clock(clk_25mhz),
    .reset_n(starting[15]),
    .from_computer(ftdi_txd),
    .to_computer(ftdi_rxd),
    .seen(led)
  );
endmodule
