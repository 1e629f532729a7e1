// The few words of the inbox, in the languages that it brings. `{n}` is a number, already written as people write it.

/**
 * @typedef {object} Words
 * @property {string} title
 * @property {string} unread the bell's name while there are unread ones: `{n}`
 * @property {string} news what a screen reader is told when some come: `{n}` unread
 * @property {string} read mark one as read
 * @property {string} unmark mark one as unread
 * @property {string} archive
 * @property {string} readAll
 * @property {string} archiveAll
 * @property {string} more
 * @property {string} empty
 * @property {string} failed
 * @property {string} again
 * @property {string} close
 * @property {string} new the word for an unread one, for those who do not see its dot
 */

/** @type {Record<string, Words> & { en: Words }} */
export const WORDS = {
  en: {
    title: "Notifications",
    unread: "Notifications, {n} unread",
    news: "New notification, {n} unread",
    read: "Mark as read",
    unmark: "Mark as unread",
    archive: "Archive",
    readAll: "Mark all read",
    archiveAll: "Archive all",
    more: "Show older",
    empty: "Nothing new.",
    failed: "This did not work.",
    again: "Try again",
    close: "Close",
    new: "Unread",
  },
  de: {
    title: "Benachrichtigungen",
    unread: "Benachrichtigungen, {n} ungelesen",
    news: "Neue Benachrichtigung, {n} ungelesen",
    read: "Als gelesen markieren",
    unmark: "Als ungelesen markieren",
    archive: "Archivieren",
    readAll: "Alle gelesen",
    archiveAll: "Alle archivieren",
    more: "Ältere zeigen",
    empty: "Nichts Neues.",
    failed: "Das hat nicht geklappt.",
    again: "Noch einmal",
    close: "Schließen",
    new: "Ungelesen",
  },
  fr: {
    title: "Notifications",
    unread: "Notifications, {n} non lues",
    news: "Nouvelle notification, {n} non lues",
    read: "Marquer comme lue",
    unmark: "Marquer comme non lue",
    archive: "Archiver",
    readAll: "Tout marquer comme lu",
    archiveAll: "Tout archiver",
    more: "Voir les plus anciennes",
    empty: "Rien de nouveau.",
    failed: "Cela n’a pas marché.",
    again: "Réessayer",
    close: "Fermer",
    new: "Non lue",
  },
  es: {
    title: "Notificaciones",
    unread: "Notificaciones, {n} sin leer",
    news: "Nueva notificación, {n} sin leer",
    read: "Marcar como leída",
    unmark: "Marcar como no leída",
    archive: "Archivar",
    readAll: "Marcar todo como leído",
    archiveAll: "Archivar todo",
    more: "Ver anteriores",
    empty: "Nada nuevo.",
    failed: "No ha funcionado.",
    again: "Reintentar",
    close: "Cerrar",
    new: "Sin leer",
  },
};

/** @param {string} language a BCP 47 tag: `de-CH` finds `de`; English for what is not there */
export const wordsFor = (language) => WORDS[language.toLowerCase().split("-")[0] ?? "en"] ?? WORDS.en;
