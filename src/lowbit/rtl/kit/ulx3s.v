// A top for ULX3S: pictures come as bytes over the board's USB serial port (115,200 baud, 8N1), and every
// picture's class goes back as a byte; the LEDs show it. Not tried on a board.
module ulx3s (
    input clk_25mhz,
    input [6:0] btn,  // btn[0] is low while pressed: reset
    input ftdi_txd,   // from the computer
    output ftdi_rxd,  // to the computer
    output reg [7:0] led = 0,
    output wifi_gpio0
);
  localparam BIT = 217;  // clocks: 25 MHz / 115,200

  assign wifi_gpio0 = 1'b1;

  reg [15:0] starting = 0;
  wire reset_n = starting[15];
  always @(posedge clk_25mhz)
    if (!btn[0]) starting <= 0;
    else if (!starting[15]) starting <= starting + 1;

  // Bytes in: the middle of each bit is sampled.
  reg [2:0] line = 3'b111;
  reg [8:0] in_wait = 0;
  reg [3:0] in_bit = 0;
  reg [7:0] in_byte = 0;
  reg in_valid = 0;
  wire in_ready;
  always @(posedge clk_25mhz) begin
    line <= {line[1:0], ftdi_txd};
    if (in_valid && in_ready) in_valid <= 0;
    if (in_bit == 0) begin
      if (!line[2]) begin
        in_bit <= 10;
        in_wait <= BIT / 2;
      end
    end else if (in_wait != 0) in_wait <= in_wait - 1;
    else begin
      in_wait <= BIT - 1;
      in_bit <= in_bit - 1;
      if (in_bit != 10 && in_bit != 1) in_byte <= {line[2], in_byte[7:1]};
      if (in_bit == 1) in_valid <= 1;
    end
  end

  reg [31:0] at = 0;
  wire last = at == @BYTES@ - 1;
  always @(posedge clk_25mhz)
    if (!reset_n) at <= 0;
    else if (in_valid && in_ready) at <= last ? 0 : at + 1;

  wire [@WIDTH@ - 1:0] result;
  wire out_valid, out_last;
  reg [9:0] out_bits = 10'b1111111111;
  reg [3:0] out_bit = 0;
  reg [8:0] out_wait = 0;
  wire out_ready = out_bit == 0;

  @TOP@ engine (
    .ap_clk(clk_25mhz),
    .ap_rst_n(reset_n),
    .s_axis_0_tdata(in_byte),
    .s_axis_0_tvalid(in_valid),
    .s_axis_0_tlast(last),
    .s_axis_0_tready(in_ready),
    .m_axis_0_tdata(result),
    .m_axis_0_tvalid(out_valid),
    .m_axis_0_tlast(out_last),
    .m_axis_0_tready(out_ready)@IDLE@
  );

  // The class, which comes with TLAST, goes out; the sums before it do not.
  assign ftdi_rxd = out_bits[0];
  always @(posedge clk_25mhz)
    if (out_bit == 0) begin
      if (out_valid && out_last) begin
        out_bits <= {1'b1, result[7:0], 1'b0};
        out_bit <= 10;
        out_wait <= BIT - 1;
        led <= result[7:0];
      end
    end else if (out_wait != 0) out_wait <= out_wait - 1;
    else begin
      out_wait <= BIT - 1;
      out_bits <= {1'b1, out_bits[9:1]};
      out_bit <= out_bit - 1;
    end
endmodule
