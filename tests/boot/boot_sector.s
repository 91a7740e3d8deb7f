# A floppy's boot sector: says FLOPPY-BOOT-OK on the first serial port and on the screen, reads its second sector through the BIOS and
# says what is in it, then ends the machine through the debug exit port 0x501 with 0x2a (exit status 0x55).
        .code16
        .globl _start
_start: xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        movb    %dl, drive
        movw    $hello, %si
        call    print
        movw    $0x0201, %ax            # read one sector
        movw    $0x0002, %cx            # cylinder 0, sector 2
        movb    $0, %dh
        movb    drive, %dl
        movw    $0x7e00, %bx
        int     $0x13
        jc      bad
        movw    $0x7e00, %si
        call    print
        jmp     end
bad:    movw    $failed, %si
        call    print
end:    movw    $0x501, %dx
        movb    $0x2a, %al
        outb    %al, %dx
1:      hlt
        jmp     1b
# print the string at SI to the screen and COM1
print:  lodsb
        testb   %al, %al
        jz      3f
        pushw   %ax
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        movw    $0x3fd, %dx
2:      inb     %dx, %al
        testb   $0x20, %al
        jz      2b
        popw    %ax
        movw    $0x3f8, %dx
        outb    %al, %dx
        jmp     print
3:      ret
drive:  .byte 0
hello:  .asciz "FLOPPY-BOOT-OK\r\n"
failed: .asciz "FLOPPY-READ-FAILED\r\n"
        .org    510
        .word   0xaa55
        .asciz  "SECOND-SECTOR-OK\r\n"
        .org    1024
