# A boot file for PXE: says so on the serial port and ends the machine by isa-debug-exit, status 43.
        .code16
        xorw    %cx, %cx
        movw    %cs, %ax
        movw    %ax, %ds
        call    1f
1:      popw    %si
        addw    $text - 1b, %si
        movw    $0x3f8, %dx
2:      lodsb
        testb   %al, %al
        jz      3f
        outb    %al, %dx
        jmp     2b
3:      movw    $0x501, %dx
        movb    $21, %al
        outb    %al, %dx
4:      hlt
        jmp     4b
text:   .asciz  "PXE-FILE-RUNS\r\n"
