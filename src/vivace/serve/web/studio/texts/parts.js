/** What texts of every language are made of. */

export const percent = (share) => `${Math.round(share * 100)} %`;
export const shortened = (text) => (text.length <= 60 ? text : `${text.slice(0, 59)}…`);
