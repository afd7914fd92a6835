// A top for the iCE40-HX8K breakout board: pictures by its USB serial port (115,200 baud, 8N1), see serial.v; the
// LEDs show the class. Not tried on a board.
module hx8k (
    input clk_12mhz,
    input serial_rx,   // from the computer
    output serial_tx,  // to the computer
    output [7:0] led
);
  reg [15:0] starting = 0;
  always @(posedge clk_12mhz) if (!starting[15]) starting <= starting + 1;

  @TOP@_serial #(.BIT(104)) serial (  // 12 MHz / 115,200
    .clock(clk_12mhz),
    .reset_n(starting[15]),
    .from_computer(serial_rx),
    .to_computer(serial_tx),
    .seen(led)
  );
endmodule
