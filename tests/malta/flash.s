# Runs a function in flash, rewrites it, and runs what is there then: at both places where the flash is seen. Says what
# each call returned on the serial port, and ends the machine.
	.set	noreorder
	.set	noat
	.text
	.globl	_start
_start:
	lui	$s0, 0xb800			# COM1 in PCI's I/O space
	ori	$s0, $s0, 0x3f8
	lui	$s1, 0xbe10			# the flash's block at 1 MiB
	lui	$s2, 0xbfd0			# the same block by its second address
	addiu	$s3, $zero, 1			# what the function returns
again:
	addiu	$t0, $zero, 0x20		# erase
	sw	$t0, 0($s1)
	addiu	$t0, $zero, 0xd0
	sw	$t0, 0($s1)
	lui	$a1, 0x03e0			# jr $ra
	bal	program
	ori	$a1, $a1, 0x0008
	lui	$a1, 0x2402			# addiu $v0, $zero, N
	addiu	$s1, $s1, 4
	bal	program
	addu	$a1, $a1, $s3
	addiu	$s1, $s1, -4
	addiu	$t0, $zero, 0xff		# read the array
	sw	$t0, 0($s1)
	addiu	$s4, $zero, 100
calls:
	jalr	$s1
	addiu	$s4, $s4, -1
	move	$s5, $v0
	jalr	$s2
	nop
	bne	$s4, $zero, calls
	addu	$s5, $s5, $v0			# twice what it returned
	addiu	$t0, $s5, '0'
	sb	$t0, 0($s0)
	addiu	$s3, $s3, 1
	addiu	$t0, $zero, 5
	bne	$s3, $t0, again
	nop
	addiu	$t0, $zero, '\n'
	sb	$t0, 0($s0)
	lui	$t0, 0xbf00			# the board's reset
	addiu	$t1, $zero, 0x42
	sw	$t1, 0x500($t0)
stop:
	b	stop
	nop

# The word $a1 at $s1.
program:
	addiu	$t0, $zero, 0x40
	sw	$t0, 0($s1)
	sw	$a1, 0($s1)
wait:
	lw	$t0, 0($s1)
	andi	$t0, $t0, 0x80
	beq	$t0, $zero, wait
	nop
	jr	$ra
	nop
